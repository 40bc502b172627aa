"""What a machine and a cluster lack for running Fivefold on Kubernetes.

    finding         what was looked at, and how it is printed
    machine_checks  programs, cores, memory, disk and ports here
    cluster_checks  API versions, controllers, classes and rights there

Nothing is installed or changed: each finding says what is needed, what for, and how to get it.
"""
