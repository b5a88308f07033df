"""Training of MultiADS: type adapters from labelled defects of one or several products."""
