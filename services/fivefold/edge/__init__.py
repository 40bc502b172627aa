"""The edge: devices that predict without a network, and the hub that hears of it later.

    outbox   what a device has accepted and not yet handed over, on its disk
    sync     how it is handed over: the protocol's words, and the sender

No Ray here, no pandas and no scikit-learn: a device is small.
"""
