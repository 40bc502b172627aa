"""What an installation on Kubernetes does from the inside of the cluster.

    kubernetes_api  the few calls to the Kubernetes API that are needed, by a pod's own account
    smoke_call      a question to the service over each of its ways, and whether the answers are the same
    certificate     a certificate for a gateway where nobody else makes one
    rayjob          the run over files that a Job's time has come for: made once, watched to its end
    rayservice      whether anything has ever been served
    secrets         the Secrets that an installation lacks: made once, kept afterwards

The objects themselves are the chart's; who may call what is decided by its Roles.
"""
