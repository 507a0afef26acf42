package sallyport.names_test

import data.sallyport.names

test_closest_first if names.wildcards("a.b.example") == ["*.b.example", "*.example"]

test_a_name_without_dots_has_none if names.wildcards("localhost") == []
