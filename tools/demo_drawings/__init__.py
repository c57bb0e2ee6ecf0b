"""The drawn sample pictures of ``askpix demo``, one module per sort. Everything in them is invented."""
