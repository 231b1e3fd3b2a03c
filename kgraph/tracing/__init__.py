"""How definitions become graphs: values that record what is done with them."""
