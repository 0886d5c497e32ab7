"""`penstock demo`: the main job on real servers of its own, with 34,006 real cities."""
