"""Trainers over what `curate` builds: an artifact or a Hub id in; a model with a receipt that leads back to its sources out.

Run as scripts: `python -m training.sft training/configs/sft.yaml`. Needs `pip install 'curate[train]'`.
"""
