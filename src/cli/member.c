#include "cli/member.h"

#include "codec/json_scan.h"

struct str member_text(struct str object, const char *path, struct arena *a)
{
    struct json_value value;
    if (!json_find(object, path, &value) || value.kind == JSON_NULL)
        return STR("-");
    return value.kind == JSON_STRING ? json_text(&value, a) : value.raw;
}

int64_t member_number(struct str object, const char *path)
{
    struct json_value value;
    int64_t number = 0;
    return json_find(object, path, &value) && json_to_i64(&value, &number) == ERR_OK ? number : 0;
}
