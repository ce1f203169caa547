"""Data cards: an artifact in, the README.md and croissant.json that explain it out (render).

A card is made of receipts alone, walked back to the sources, with the ledger's tables and a
few scrubbed examples of what was dropped; the user's own words come from the recipe.
"""
