"""The mathematics of judges' labels: arrays and verdict tables in, probabilities and estimates with intervals out.

`soft_labels`, `position`, `hard_votes`  one judge, both orders of a pair
`bradley_terry`, `dawid_skene`, `panel`  several judges, one probability a pair
`checks`, `cycles`, `profile`            whether the model of a judge holds
`agreement`, `ranks`, `calibration`      labels against labels
`selection`, `active`                    which labels to keep, which pairs to ask about
"""
