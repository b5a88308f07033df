"""Finds the parts that cross the view of a free-running camera: frames in, one frame per part out.

frame -> sampled grid -> what is not belt -> extents along the belt -> tracks -> best frame.
Pure: no threads, no files, no clocks. Lengths inside are cells of the sampled grid.
"""
