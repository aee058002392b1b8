"""Windows under Wine: where its parts lie, and what makes them."""
