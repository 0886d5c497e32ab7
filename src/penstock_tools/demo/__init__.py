"""`penstock demo`: what penstock does, shown on real servers with 34,006 real cities."""
