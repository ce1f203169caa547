"""Steps that know rows: turns, refusals, caps, balance, templates, shortcuts."""
