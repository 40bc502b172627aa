"""Everything that several tests share: bundles, servers, stores, clients, and what drives them."""
