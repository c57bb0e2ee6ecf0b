"""Small programs that drive Askpix and its peers alike, each under the Python that has the program."""
