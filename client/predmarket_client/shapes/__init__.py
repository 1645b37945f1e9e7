"""The answers of the API as frozen, typed values. Amounts, shares and prices are micros; names say so.

Fields this version does not know are passed over, so an engine may add some.
"""
