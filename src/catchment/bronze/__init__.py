"""What arrived, as it arrived."""
