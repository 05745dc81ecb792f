"""Customers' accounts: event-sourced, double-entry; holds, captures, releases and refunds for orders."""
