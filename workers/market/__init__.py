"""Market: prices, and what can be calculated from them. No bus and no database.

price_file.py    a CSV file of close prices
market_data/     the file that is replayed by default
prices.py        closes of the last days, returns, volatility, trend
ranking.py       symbols ranked by momentum
strategies.py    which symbols of a ranking each strategy would hold
"""
