"""Analysts: each hears the day's prices, announces its conclusions and reports that it is done.

analyst.py    base class
msc_ai.py     MSC AI, risk mode and policy
sg_ai.py      SG AI, stages of the strategies
clm.py        CLM, versions of the models
opprank.py    OppRank, ranking of the symbols
"""
