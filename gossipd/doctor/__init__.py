"""Says why it does not work: ordered checks, each with its verdict, the evidence and the fix.

    findings   what a check has found            machine   what is asked of this machine
    local      this home and this machine        known     each known peer, as the daemon sees it
    probe      each known peer, with the daemon down

A check that cannot be made because of an earlier one is skipped and says so. Nothing is changed.
"""
