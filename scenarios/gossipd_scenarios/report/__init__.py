"""What remains of a run, in one folder: numbers, pictures and a page that explains them.

record   History -> result.json (all that reports and comparisons need) and events.jsonl
figures  result.json -> PNGs
page     result.json and its PNGs -> one self-contained report.html
compare  two result.json side by side
"""
