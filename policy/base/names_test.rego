package sallyport.names_test

import data.sallyport.names

test_firm_rules_are_named if names.firm["freeze"]

test_closest_first if sallyport.names("a.b.example") == ["a.b.example", "*.b.example", "*.example"]

test_a_name_without_dots_is_alone if sallyport.names("localhost") == ["localhost"]
