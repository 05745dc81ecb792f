"""What customers are told about their orders."""
