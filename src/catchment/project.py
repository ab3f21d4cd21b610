"""catchment.yaml -> a frozen, validated Project."""
