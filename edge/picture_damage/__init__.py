"""Is a picture file whole? One file per format; decoders fill what is missing without a word."""
