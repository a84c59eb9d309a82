"""Features of a store's images, computed once per backbone; the verb is `cache`."""
