"""The base classes of stores, their payload and filters, and views of any store."""
