"""Results, states and the outbox that loses none of them."""
