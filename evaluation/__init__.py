"""Is it any good, and how fast? Takes callables; knows no concrete class."""
