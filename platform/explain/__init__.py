"""How explain makes its pictures: networks opened again, maps of what they look at, face regions, sheets, the user's own pictures."""
