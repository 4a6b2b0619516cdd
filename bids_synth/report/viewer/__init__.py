"""The viewer of a page: volumes packed for a browser, and the script that shows them."""
