"""Ours against torch's own: the cases, the checks, and the ledger that both make."""
