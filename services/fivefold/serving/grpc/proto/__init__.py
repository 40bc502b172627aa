"""The wire's messages: `.proto` files and the modules made of them by `fivefold.serving.grpc.generate`."""
