"""Planning: from the analysts' announcements to one plan for the day, in this order.

strategy_runtime_engine.py    signals of the live strategies
ensemble_manager.py           signals scored by the best model
orchestrator.py               strategy that the policy puts first
safety_governor.py            halt while the system's health is CRITICAL
"""
