/* Gemini as a target: requests from the Responses API's language, answers into events. */
#include "tests/unit/unit.h"

#include "base/buf.h"
#include "dialect/gemini.h"
#include "dialect/responses.h"
#include "tests/unit/dialect/quote.h"

/* ---- Requests ---- */

struct request_case {
    const char *name;
    const char *model;
    const char *ask;
    const char *body;  /* NULL: refused */
    const char *param; /* of the refusal */
};

#define HELLO "'contents':[{'role':'user','parts':[{'text':'Hi'}]}]"

static const struct request_case request_cases[] = {
    {"text", "gemini-3-pro", "{'model':'g','input':'Hi'}", "{" HELLO ",'generationConfig':{}}",
     NULL},
    {"instructions and roles", "gemini-3-pro",
     "{'model':'g','instructions':'Be "
     "\\u0027brief\\n','input':[{'role':'developer','content':'Also'}"
     ",{'role':'user','content':'One'},{'role':'user','content':[{'type':'input_text','text':'Two'}"
     "]"
     "},{'role':'assistant','content':'Three'},{'role':'user','content':'Four'}]}",
     "{'systemInstruction':{'parts':[{'text':'Be \\u0027brief\\n'},{'text':'Also'}]},'contents':[{"
     "'role':'user','parts':[{'text':'One'},{'text':'Two'}]},{'role':'model','parts':[{'text':"
     "'Three'}]},{'role':'user','parts':[{'text':'Four'}]}],'generationConfig':{}}",
     NULL},
    {"instructions alone", "gemini-3-pro", "{'model':'g','instructions':'Hi','input':[]}",
     "{" HELLO ",'generationConfig':{}}", NULL},
    {"sampling", "gemini-2.5-flash",
     "{'model':'g','input':'Hi','temperature':0.70,'top_p':null,'max_output_tokens':9,"
     "'top_logprobs':2,'metadata':{'a':'b'},'user':'u','store':false,'service_tier':'auto'}",
     "{" HELLO
     ",'generationConfig':{'maxOutputTokens':9,'temperature':0.70,'responseLogprobs':true,"
     "'logprobs':2}}",
     NULL},
    {"unknown members go on", "gemini-3-pro",
     "{'model':'g','input':'Hi','safetySettings':[{'category':'X'}],'cachedContent':'c/1'}",
     "{" HELLO ",'generationConfig':{},'safetySettings':[{'category':'X'}],'cachedContent':'c/1'}",
     NULL},
    {"a member that would be there twice", "gemini-3-pro",
     "{'model':'g','input':'Hi','generationConfig':{}}", NULL, "generationConfig"},
    {"tools", "gemini-3-pro",
     "{'model':'g','input':'Hi','tools':[{'type':'function','name':'f','description':'D','"
     "parameters'"
     ":{'type':'object','properties':{'a':{'$ref':'#/$defs/x'}}},'strict':true},{'type':'function',"
     "'name':'g','parameters':null}],'tool_choice':'required','parallel_tool_calls':true}",
     "{" HELLO
     ",'tools':[{'functionDeclarations':[{'name':'f','description':'D','parametersJsonSchema':{"
     "'type':'object','properties':{'a':{'$ref':'#/$defs/x'}}}},{'name':'g'}]}],'toolConfig':{"
     "'functionCallingConfig':{'mode':'ANY'}},'generationConfig':{}}",
     NULL},
    {"one tool of two allowed", "gemini-3-pro",
     "{'model':'g','input':'Hi','tools':[{'type':'function','name':'f'},{'type':'function','name':"
     "'g'}],'tool_choice':{'type':'allowed_tools','mode':'auto','tools':[{'type':'function','name':"
     "'g'}]}}",
     "{" HELLO
     ",'tools':[{'functionDeclarations':[{'name':'g'}]}],'toolConfig':{'functionCallingConfig':{"
     "'mode':'AUTO'}},'generationConfig':{}}",
     NULL},
    {"a named tool", "gemini-3-pro",
     "{'model':'g','input':'Hi','tools':[{'type':'function','name':'f'}],'tool_choice':{'type':"
     "'function','name':'f'}}",
     "{" HELLO
     ",'tools':[{'functionDeclarations':[{'name':'f'}]}],'toolConfig':{'functionCallingConfig':{"
     "'mode':'ANY','allowedFunctionNames':['f']}},'generationConfig':{}}",
     NULL},
    {"a built-in tool", "gemini-3-pro",
     "{'model':'g','input':'Hi','tools':[{'type':'web_search'}]}", NULL, "tools"},
    {"calls and results", "gemini-2.5-pro",
     "{'model':'g','input':[{'role':'user','content':'Hi'},{'type':'function_call','call_id':'c1',"
     "'name':'f','arguments':'{\\u0022a\\u0022: 1}'},{'type':'function_call','call_id':'c2','name':"
     "'g','arguments':''},{'type':'function_call_output','call_id':'c2','output':'[1, 2]'},{'type':"
     "'function_call_output','call_id':'c1','output':'sun\\ny'},{'role':'user','content':'Go'}]}",
     "{'contents':[{'role':'user','parts':[{'text':'Hi'}]},{'role':'model','parts':[{'functionCall'"
     ":"
     "{'id':'c1','name':'f','args':{'a': 1}}},{'functionCall':{'id':'c2','name':'g','args':{}}}]},{"
     "'role':'user','parts':[{'functionResponse':{'id':'c2','name':'g','response':{'output':[1, "
     "2]}}"
     "},{'functionResponse':{'id':'c1','name':'f','response':{'output':'sun\\ny'}}}]},{'role':'"
     "user'"
     ",'parts':[{'text':'Go'}]}],'generationConfig':{}}",
     NULL},
    {"another model's calls", "gemini-3-pro",
     "{'model':'g','input':[{'type':'function_call','call_id':'c1','name':'f','arguments':'{}'},{"
     "'type':'function_call','call_id':'c2','name':'f','arguments':'{}'}]}",
     "{'contents':[{'role':'model','parts':[{'functionCall':{'id':'c1','name':'f','args':{}},"
     "'thoughtSignature':'skip_thought_signature_validator'},{'functionCall':{'id':'c2','name':'f',"
     "'args':{}}}]}],'generationConfig':{}}",
     NULL},
    {"signatures", "gemini-3-pro",
     "{'model':'g','input':[{'type':'reasoning','summary':[{'type':'summary_text','text':'Hm'}],"
     "'encrypted_content':'weir.s:gemini:AA=='},{'role':'assistant','content':'A'},{'type':"
     "'reasoning','summary':[],'encrypted_content':'weir.c:BB=='},{'type':'function_call','call_id'"
     ":"
     "'c1','name':'f','arguments':'{}'}]}",
     "{'contents':[{'role':'model','parts':[{'text':'A','thoughtSignature':'AA=='},{'functionCall':"
     "{"
     "'id':'c1','name':'f','args':{}},'thoughtSignature':'BB=='}]}],'generationConfig':{}}",
     NULL},
    {"a signature behind the text", "gemini-3-pro",
     "{'model':'g','input':[{'role':'assistant','content':'A'},{'type':'reasoning','summary':[],"
     "'encrypted_content':'weir.s:gemini:AA=='},{'role':'user','content':'B'}]}",
     "{'contents':[{'role':'model','parts':[{'text':'A'},{'text':'','thoughtSignature':'AA=='}]},{"
     "'role':'user','parts':[{'text':'B'}]}],'generationConfig':{}}",
     NULL},
    {"another provider's thinking", "gemini-3-pro",
     "{'model':'g','input':[{'role':'user','content':'Hi'},{'type':'reasoning','summary':[],"
     "'encrypted_content':'weir.s:ErUB'},{'type':'reasoning','summary':[],'encrypted_content':"
     "'gAAAA'}]}",
     "{" HELLO ",'generationConfig':{}}", NULL},
    {"images and files", "gemini-3-pro",
     "{'model':'g','input':[{'role':'user','content':[{'type':'input_image','image_url':"
     "'data:image/png;base64,AAAA','detail':'low'},{'type':'input_image','image_url':"
     "'https://x/y.jpg?z'},{'type':'input_file','file_data':'data:application/pdf;base64,BBBB',"
     "'filename':'a.pdf'},{'type':'input_audio','input_audio':{'data':'CC','format':'mp3'}},{'type'"
     ":"
     "'input_file','file_id':'files/abc'}]}]}",
     "{'contents':[{'role':'user','parts':[{'inlineData':{'mimeType':'image/png','data':'AAAA'}},{"
     "'fileData':{'mimeType':'image/jpeg','fileUri':'https://x/"
     "y.jpg?z'}},{'inlineData':{'mimeType':"
     "'application/pdf','data':'BBBB'}},{'inlineData':{'mimeType':'audio/mp3','data':'CC'}},{"
     "'fileData':{'fileUri':'https://generativelanguage.googleapis.com/v1beta/files/abc'}}]}],"
     "'generationConfig':{}}",
     NULL},
    {"another provider's file", "gemini-3-pro",
     "{'model':'g','input':[{'role':'user','content':[{'type':'input_file','file_id':'file-1'}]}]}",
     NULL, "messages"},
    {"an image from a tool", "gemini-3-pro",
     "{'model':'g','input':[{'type':'function_call','call_id':'c','name':'f','arguments':'{}'},{"
     "'type':'function_call_output','call_id':'c','output':[{'type':'input_text','text':'see'},{"
     "'type':'input_image','image_url':'data:image/png;base64,AA'}]}]}",
     "{'contents':[{'role':'model','parts':[{'functionCall':{'id':'c','name':'f','args':{}},"
     "'thoughtSignature':'skip_thought_signature_validator'}]},{'role':'user','parts':[{"
     "'functionResponse':{'id':'c','name':'f','response':{'output':'see'},'parts':[{'inlineData':{"
     "'mimeType':'image/png','data':'AA'}}]}}]}],'generationConfig':{}}",
     NULL},
    {"the same for an older model", "gemini-2.5-pro",
     "{'model':'g','input':[{'type':'function_call','call_id':'c','name':'f','arguments':'{}'},{"
     "'type':'function_call_output','call_id':'c','output':[{'type':'input_image','image_url':"
     "'data:image/png;base64,AA'}]}]}",
     "{'contents':[{'role':'model','parts':[{'functionCall':{'id':'c','name':'f','args':{}}}]},{"
     "'role':'user','parts':[{'functionResponse':{'id':'c','name':'f','response':{'output':''}}}]},"
     "{"
     "'role':'user','parts':[{'inlineData':{'mimeType':'image/png','data':'AA'}}]}],"
     "'generationConfig':{}}",
     NULL},
    {"a result of no call", "gemini-3-pro",
     "{'model':'g','input':[{'type':'function_call_output','call_id':'c','output':''}]}", NULL,
     "messages"},
    {"an item of OpenAI's own", "gemini-3-pro",
     "{'model':'g','input':[{'type':'web_search_call','id':'ws_1'}]}", NULL, "messages"},
    {"a schema", "gemini-3-pro",
     "{'model':'g','input':'Hi','text':{'format':{'type':'json_schema','name':'n','strict':true,"
     "'schema':{'type':'object'}},'verbosity':'low'}}",
     "{" HELLO ",'generationConfig':{'responseMimeType':'application/json','responseJsonSchema':{"
     "'type':'object'}}}",
     NULL},
    {"JSON", "gemini-3-pro", "{'model':'g','input':'Hi','text':{'format':{'type':'json_object'}}}",
     "{" HELLO ",'generationConfig':{'responseMimeType':'application/json'}}", NULL},
    {"effort as a level", "gemini-3-pro",
     "{'model':'g','input':'Hi','reasoning':{'effort':'xhigh','summary':'auto'}}",
     "{" HELLO ",'generationConfig':{'thinkingConfig':{'thinkingLevel':'high','includeThoughts':"
     "true}}}",
     NULL},
    {"no effort as a level", "gemini-3-flash",
     "{'model':'g','input':'Hi','reasoning':{'effort':'none'}}",
     "{" HELLO ",'generationConfig':{'thinkingConfig':{'thinkingLevel':'minimal'}}}", NULL},
    {"effort as a budget", "gemini-2.5-flash",
     "{'model':'g','input':'Hi','reasoning':{'effort':'medium'}}",
     "{" HELLO ",'generationConfig':{'thinkingConfig':{'thinkingBudget':8192}}}", NULL},
    {"no effort as a budget", "gemini-2.5-flash",
     "{'model':'g','input':'Hi','reasoning':{'effort':'none','summary':'auto'}}",
     "{" HELLO ",'generationConfig':{'thinkingConfig':{'thinkingBudget':0}}}", NULL},
    {"a summary alone", "gemini-2.5-flash",
     "{'model':'g','input':'Hi','reasoning':{'summary':'auto'}}",
     "{" HELLO ",'generationConfig':{'thinkingConfig':{'thinkingBudget':-1,'includeThoughts':true}}"
     "}",
     NULL},
};

static void check_request(const struct request_case *c)
{
    struct arena a;
    struct ask *ask = NULL;
    struct ask_plan plan;
    struct openai_problem problem = {.message = ""};
    struct buf out BUF_AUTO;
    arena_init(&a);
    buf_init(&out, 1 << 20);
    enum err err = responses_read_ask(quote(&a, c->ask), 64, &a, &ask, &problem);
    if (err == ERR_OK) {
        struct ask_target target = {.model = str_from_c(c->model)};
        err = gemini_write_ask(ask, &target, &a, &out, &plan, &problem);
    }
    if (c->body) {
        if (err != ERR_OK)
            fail_msg("%s: refused: %s", c->name, problem.message);
        struct str wanted = quote(&a, c->body);
        if (!str_eq(buf_str(&out), wanted))
            fail_msg("%s:\n  is     %s\n  wanted %s", c->name, buf_cstr(&out), wanted.ptr);
    } else {
        if (err == ERR_OK)
            fail_msg("%s: not refused: %s", c->name, buf_cstr(&out));
        assert_string_equal(problem.param, c->param);
        assert_true(strlen(problem.message) > 20);
    }
    arena_release(&a);
}

static void test_requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof request_cases / sizeof *request_cases; i++)
        check_request(&request_cases[i]);
}

static void test_plan(void **state)
{
    struct arena a;
    struct ask *ask = NULL;
    struct ask_plan plan;
    struct openai_problem problem;
    struct buf out BUF_AUTO;
    struct ask_target target = {.model = STR("gemini-3-pro")};
    (void)state;
    arena_init(&a);
    buf_init(&out, 1 << 16);
    struct str body = quote(&a, "{'model':'g','input':'Hi','parallel_tool_calls':false,'tools':[{"
                                "'type':'function','name':'f'}]}");
    assert_int_equal(responses_read_ask(body, 64, &a, &ask, &problem), ERR_OK);
    assert_int_equal(gemini_write_ask(ask, &target, &a, &out, &plan, &problem), ERR_OK);
    assert_true(plan.single_tool);
    buf_release(&out);
    buf_init(&out, 20);
    assert_int_equal(gemini_write_ask(ask, &target, &a, &out, &plan, &problem), ERR_TOO_LARGE);
    arena_release(&a);
}

/* ---- Answers ---- */

/* Events as one line each, of what matters. */
static void show(void *arg, const struct answer_event *e)
{
    static const char *const finishes[] = {"none",  "stop",   "sequence", "length",
                                           "tools", "filter", "pause"};
    struct buf *out = arg;
    switch (e->kind) {
    case ANSWER_START:
        buf_printf(out, "start %.*s %.*s\n", STR_ARG(e->id), STR_ARG(e->name));
        break;
    case ANSWER_TEXT: buf_printf(out, "text %.*s\n", STR_ARG(e->text)); break;
    case ANSWER_THINKING: buf_printf(out, "think %.*s\n", STR_ARG(e->text)); break;
    case ANSWER_SIGNATURE: buf_printf(out, "sign %.*s\n", STR_ARG(e->text)); break;
    case ANSWER_REFUSAL: buf_printf(out, "refuse %.*s\n", STR_ARG(e->text)); break;
    case ANSWER_TOOL_BEGIN:
        buf_printf(out, "call %u %.*s %.*s %.*s\n", e->tool, STR_ARG(e->id), STR_ARG(e->name),
                   STR_ARG(e->text));
        break;
    case ANSWER_TOOL_ARGS: buf_printf(out, "args %u %.*s\n", e->tool, STR_ARG(e->text)); break;
    case ANSWER_TOOL_END: buf_printf(out, "called %u\n", e->tool); break;
    case ANSWER_LOGPROBS: buf_printf(out, "logprobs %.*s\n", STR_ARG(e->raw)); break;
    case ANSWER_OTHER:
        buf_printf(out, "other %.*s %.*s\n", STR_ARG(e->name), STR_ARG(e->raw));
        break;
    case ANSWER_FINISH: buf_printf(out, "finish %u %s\n", e->choice, finishes[e->finish]); break;
    case ANSWER_USAGE:
        buf_printf(out, "usage %d+%d\n", (int)e->usage.input, (int)e->usage.output);
        break;
    case ANSWER_ERROR:
        buf_printf(out, "error %s %s %s\n", e->problem->type, e->problem->code,
                   e->problem->message);
        break;
    case ANSWER_END: buf_append_str(out, STR("end\n")); break;
    case ANSWER_PING:
    case ANSWER_REDACTED: fail_msg("event %d", e->kind);
    }
}

struct answer_case {
    const char *name;
    bool single_tool;
    const char *chunks[6];
    const char *events;
};

#define PART(part) "{'candidates':[{'content':{'parts':[" part "],'role':'model'},'index':0}]}"
#define STOP       "{'candidates':[{'finishReason':'STOP','index':0}]}"

static const struct answer_case answer_cases[] = {
    {"text",
     false,
     {"{'candidates':[{'content':{'parts':[{'text':'Hel\\u006co'}],'role':'model'},'index':0}],"
      "'usageMetadata':{'promptTokenCount':4,'totalTokenCount':4},'modelVersion':'gemini-3-pro',"
      "'responseId':'r1'}",
      "{'candidates':[{'content':{'parts':[{'text':' you'}]},'finishReason':'STOP','index':0}],"
      "'usageMetadata':{'promptTokenCount':4,'candidatesTokenCount':2,'thoughtsTokenCount':5}}"},
     "start r1 gemini-3-pro\ntext Hel\\u006co\nusage 4+0\ntext  you\nusage 4+7\nfinish 0 stop\n"
     "end\n"},
    {"older models stop with each chunk",
     false,
     {"{'candidates':[{'content':{'parts':[{'text':'a'}]},'finishReason':'STOP'}]}",
      "{'candidates':[{'content':{'parts':[{'text':'b'}]},'finishReason':'STOP'}]}"},
     "start  \ntext a\ntext b\nfinish 0 stop\nend\n"},
    {"cut", false, {PART("{'text':'a'}")}, "start  \ntext a\n"},
    {"nothing", false, {"{'usageMetadata':{'promptTokenCount':4}}"}, "start  \nusage 4+0\n"},
    {"thinking",
     false,
     {PART("{'text':'Hm','thought':true}"), PART("{'text':'Yes'}"),
      PART("{'text':'','thoughtSignature':'AB=='}"), STOP},
     "start  \nthink Hm\ntext Yes\nsign gemini:AB==\nfinish 0 stop\nend\n"},
    {"parallel calls",
     false,
     {PART("{'functionCall':{'id':'x','name':'f','args':{'a':'\\u0022'}},'thoughtSignature':'S'},{"
           "'functionCall':{'name':'g'}}"),
      STOP},
     "start  \ncall 0 x f S\nargs 0 {\\\"a\\\":\\\"\\\\u0022\\\"}\ncalled 0\ncall 1 call__1 g \n"
     "args 1 {}\ncalled 1\nfinish 0 tools\nend\n"},
    {"one call at a time",
     true,
     {PART("{'functionCall':{'id':'x','name':'f'}},{'functionCall':{'id':'y','name':'g'}}"), STOP},
     "start  \ncall 0 x f \nargs 0 {}\ncalled 0\nfinish 0 tools\nend\n"},
    {"a prompt that is blocked",
     false,
     {"{'promptFeedback':{'blockReason':'PROHIBITED_CONTENT'},'usageMetadata':{'promptTokenCount':1"
      "}}"},
     "start  \nusage 1+0\nfinish 0 filter\nend\n"},
    {"feedback without a block",
     false,
     {"{'promptFeedback':{'safetyRatings':[]},'candidates':[{'content':{'parts':[{'text':'a'}]},"
      "'finishReason':'MAX_TOKENS'}]}"},
     "start  \ntext a\nfinish 0 length\nend\n"},
    {"safety",
     false,
     {PART("{'text':'a'}"),
      "{'candidates':[{'finishReason':'SAFETY','finishMessage':'no','safetyRatings':[]}]}"},
     "start  \ntext a\nrefuse no\nfinish 0 filter\nend\n"},
    {"recitation",
     false,
     {"{'candidates':[{'finishReason':'RECITATION'}]}"},
     "start  \nfinish 0 filter\nend\n"},
    {"a malformed call",
     false,
     {"{'candidates':[{'finishReason':'MALFORMED_FUNCTION_CALL'}]}"},
     "start  \nerror api_error invalid_tool_call the model wrote a function call that is not valid "
     "(MALFORMED_FUNCTION_CALL)\n"},
    {"two candidates, one cut",
     false,
     {"{'candidates':[{'index':0,'content':{'parts':[{'text':'a'}]},'finishReason':'STOP'},{'index'"
      ":"
      "1,'content':{'parts':[{'text':'b'}]}}]}"},
     "start  \ntext a\ntext b\n"},
    {"two candidates",
     false,
     {"{'candidates':[{'index':1,'content':{'parts':[{'text':'b'}]},'finishReason':'STOP'},{'index'"
      ":"
      "0,'content':{'parts':[{'text':'a'}]},'finishReason':'STOP'}]}"},
     "start  \ntext b\ntext a\nfinish 0 stop\nfinish 1 stop\nend\n"},
    {"code and images",
     false,
     {PART("{'executableCode':{'code':'1'}},{'inlineData':{'mimeType':'image/png','data':'AA'}}"),
      STOP},
     "start  \nother executableCode {\"code\":\"1\"}\nother inlineData {\"mimeType\":\"image/png\","
     "\"data\":\"AA\"}\nfinish 0 stop\nend\n"},
    {"log probabilities",
     false,
     {"{'candidates':[{'content':{'parts':[{'text':'é'}]},'finishReason':'STOP','logprobsResult':{"
      "'topCandidates':[{'candidates':[{'token':'é','logProbability':-0.1},{'token':'a',"
      "'logProbability':-2}]}],'chosenCandidates':[{'token':'é','tokenId':7,'logProbability':-0.1}]"
      "}"
      "}]}"},
     "start  \ntext é\nlogprobs "
     "{\"content\":[{\"token\":\"é\",\"logprob\":-0.1,\"bytes\":[195,169],"
     "\"top_logprobs\":[{\"token\":\"é\",\"logprob\":-0.1,\"bytes\":[195,169]},{\"token\":\"a\","
     "\"logprob\":-2,\"bytes\":[97]}]}]}\nfinish 0 stop\nend\n"},
    {"an error in the stream",
     false,
     {PART("{'text':'a'}"),
      "{'error':{'code':503,'message':'The model is overloaded.','status':'UNAVAILABLE'}}", STOP},
     "start  \ntext a\nerror upstream_error UNAVAILABLE The model is overloaded.\n"},
    {"garbage",
     false,
     {PART("{'text':'a'}"), "<html>"},
     "start  \ntext a\nerror api_error malformed_event an event of the stream is not a JSON "
     "object\n"},
};

static void check_answer(const struct answer_case *c)
{
    struct arena a;
    struct buf events BUF_AUTO;
    struct answer_sink sink = {.take = show, .arg = &events};
    struct answer_options options = {.max_depth = 64, .plan = {.single_tool = c->single_tool}};
    arena_init(&a);
    buf_init(&events, 1 << 16);
    struct answer_reader *r = dialect_gemini.reader_new(&options);
    for (size_t i = 0; i < 6 && c->chunks[i]; i++)
        dialect_gemini.reader_feed(r, STR_NONE, quote(&a, c->chunks[i]), sink);
    dialect_gemini.reader_end(r, sink);
    dialect_gemini.reader_end(r, sink);
    dialect_gemini.reader_free(r);
    if (strcmp(buf_cstr(&events), c->events) != 0)
        fail_msg("%s:\n%swanted\n%s", c->name, buf_cstr(&events), c->events);
    arena_release(&a);
}

static void test_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof answer_cases / sizeof *answer_cases; i++)
        check_answer(&answer_cases[i]);
}

static void test_whole(void **state)
{
    struct arena a;
    struct buf events BUF_AUTO;
    struct answer_sink sink = {.take = show, .arg = &events};
    struct answer_options options = {.max_depth = 64};
    (void)state;
    arena_init(&a);
    buf_init(&events, 1 << 16);
    struct str body = quote(&a, "{'candidates':[{'content':{'parts':[{'text':'a'}]},'finishReason':"
                                "'STOP'}],'usageMetadata':{'promptTokenCount':1}}");
    assert_int_equal(dialect_gemini.read_answer(body, &options, sink), ERR_OK);
    assert_string_equal(buf_cstr(&events), "start  \ntext a\nusage 1+0\nfinish 0 stop\nend\n");
    assert_int_equal(dialect_gemini.read_answer(STR("{}"), &options, sink), ERR_INVALID);
    assert_int_equal(dialect_gemini.read_answer(STR("[1]"), &options, sink), ERR_INVALID);
    assert_int_equal(dialect_gemini.read_answer(STR("{\"candi"), &options, sink), ERR_TRUNCATED);
    arena_release(&a);
}

/* ---- Usage and errors ---- */

static void test_usage(void **state)
{
    struct arena a;
    struct usage u;
    (void)state;
    arena_init(&a);
    struct str text = quote(
        &a, "{'promptTokenCount':100,'cachedContentTokenCount':60,'candidatesTokenCount':10,"
            "'thoughtsTokenCount':30,'toolUsePromptTokenCount':5,'totalTokenCount':145,"
            "'promptTokensDetails':[{'modality':'TEXT','tokenCount':90},{'modality':'AUDIO',"
            "'tokenCount':10}],'candidatesTokensDetails':[{'tokenCount':3,'modality':'AUDIO'}]}");
    assert_int_equal(gemini_usage_read(text, &u), ERR_OK);
    assert_true(u.input == 105 && u.cached_input == 60 && u.cache_write == 0);
    assert_true(u.output == 40 && u.reasoning == 30 && u.audio_in == 10 && u.audio_out == 3);
    assert_int_equal(u.source, USAGE_PROVIDER);
    assert_int_equal(gemini_usage_read(STR("{\"promptTokenCount\":-4}"), &u), ERR_INVALID);
    assert_int_equal(gemini_usage_read(STR("{\"promptTokenCount\":4,"
                                           "\"cachedContentTokenCount\":9}"),
                                       &u),
                     ERR_OK);
    assert_int_equal(u.cached_input, 4);
    assert_int_equal(gemini_usage_read(STR("[]"), &u), ERR_INVALID);
    arena_release(&a);
}

static void check_error(int status, const char *body, const char *type, const char *code,
                        int64_t retry_ms)
{
    struct arena a;
    struct openai_problem p;
    arena_init(&a);
    struct str text = quote(&a, body);
    gemini_read_error(text, status, &p);
    assert_string_equal(p.type, type);
    assert_string_equal(p.code, code);
    assert_true(*p.message);
    assert_int_equal(gemini_retry_after_ms(text), retry_ms);
    arena_release(&a);
}

static void test_errors(void **state)
{
    (void)state;
    check_error(429,
                "{'error':{'code':429,'message':'Quota.','status':'RESOURCE_EXHAUSTED','details':[{"
                "'@type':'type.googleapis.com/google.rpc.QuotaFailure'},{'@type':"
                "'type.googleapis.com/google.rpc.RetryInfo','retryDelay':'37.25s'}]}}",
                "rate_limit_error", "RESOURCE_EXHAUSTED", 37250);
    check_error(429, "[{'error':{'message':'Q','details':[{'retryDelay':'3s'}]}}]",
                "rate_limit_error", "", 3000);
    check_error(400,
                "{'error':{'code':400,'message':'API key not valid. Please pass a valid API key.',"
                "'status':'INVALID_ARGUMENT'}}",
                "authentication_error", "INVALID_ARGUMENT", -1);
    check_error(400, "{'error':{'code':400,'message':'No.','status':'INVALID_ARGUMENT'}}",
                "invalid_request_error", "INVALID_ARGUMENT", -1);
    check_error(404, "{'error':{'code':404,'message':'No.','status':'NOT_FOUND'}}",
                "not_found_error", "NOT_FOUND", -1);
    check_error(503, "<html><title>Bad</title></html>", "upstream_error", "", -1);
    check_error(500, "{'error':{'message':'x','details':[{'retryDelay':'soon'}]}}",
                "upstream_error", "", -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests), cmocka_unit_test(test_plan),
        cmocka_unit_test(test_answers),  cmocka_unit_test(test_whole),
        cmocka_unit_test(test_usage),    cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
