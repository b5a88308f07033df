"""From a bundle to engines that passed the parity check on this device."""
