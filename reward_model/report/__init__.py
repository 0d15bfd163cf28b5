"""Plain data to terminal tables, HTML and charts. Imports no other room of the house."""
