"""What must hold after a run, judged on its history alone.

verdict   what a check says: name, whether it holds, value, bound, evidence
models    what nodes have learnt, and how soon
conduct   what daemons must never do: lose work, count back, die, grow
judge     all checks of a scenario against one history
"""
