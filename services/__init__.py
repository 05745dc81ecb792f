"""The seven services. A service imports `sagashop` and `contracts`, never another service."""
