"""One file a chapter of the page: its words, tables and the data of its figures."""
