"""What HTTP and gRPC say alike in the words of the Open Inference Protocol."""
