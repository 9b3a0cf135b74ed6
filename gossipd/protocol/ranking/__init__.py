"""Local ranking from use (G-Rank, arXiv 2301.12530): what was chosen by whom, and what that says.

click log -> votes -> similarity, score; the log travels by pull. Pure: the caller brings the time.
"""
