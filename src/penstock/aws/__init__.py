"""What only AWS needs: signing requests."""
