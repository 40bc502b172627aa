"""What is legal: values against their field, a model's answers, and what is said of the rest."""
