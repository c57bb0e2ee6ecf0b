"""SQLite and PostgreSQL: connections, transactions and schema migrations."""
