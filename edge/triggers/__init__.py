"""Where triggers come from, and the bounded queue that takes or refuses them."""
