"""The loop of one cursor: batches of changes are folded into writes, sent, and the position saved behind them."""
