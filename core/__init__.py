"""Words everyone shares: types, errors, images, database. Imports nothing else of Askpix."""
