//! The other engines: each compiles once, reuses what it can, and has the facts in the shape that suits it best.
//!
//! They are asked what they can be asked: CEL has no versions, Cedar compares whole numbers only.

use std::{hint::black_box, sync::Arc};

use regorus::{
    languages::rego::compiler::Compiler,
    rvm::{program::Program, vm::RegoVM},
};
use serde_json::{Value, json};
use tribe::Policy;

use crate::{
    measure::{Case, Group, case},
    ours,
    questions::{self, Ask},
};

const CEL: &str = "cel 0.15";
const INTERPRETER: &str = "cel-interpreter 0.10";
const REGORUS: &str = "regorus 0.14, its virtual machine";
const CEDAR: &str = "cedar-policy 4.14";
const EVALEXPR: &str = "evalexpr 13.1";
const RHAI: &str = "rhai 1.27";

pub fn groups() -> Vec<Group> {
    let group = |title, cases| Group { title, compared: true, cases };
    vec![
        group("Peers: four conjuncts, 63 facts", four),
        group("Peers: four conjuncts, the first is false", miss),
        group("Peers: RFC, one comparison", || one(questions::one())),
        group("Peers: RFC, two comparisons", || one(questions::two())),
        group("Peers: 1,000 policies of four conjuncts, per policy", || many(questions::many())),
        group("Peers: 1,000 policies, all different, per policy", || many(questions::different())),
        group("Peers: 1,000 policies of mixed operators, per policy", || many(questions::mixed())),
        group("Peers: reading four conjuncts", || parse(four_text())),
        group("Peers: reading one comparison", || parse(questions::one())),
    ]
}

fn four_text() -> Ask {
    questions::four("Ubuntu", true, 16_000_000_000, "avx2")
}

fn four() -> Vec<Case> {
    one(four_text())
}

fn miss() -> Vec<Case> {
    one(questions::four("Debian", true, 16_000_000_000, "avx2"))
}

/// The features as a map, which most search faster than a list.
fn mapped() -> Value {
    let mut facts = questions::facts();
    let features = facts["processor_features"].as_array().unwrap().clone();
    let map = features.iter().map(|name| (name.as_str().unwrap().to_owned(), json!(true)));
    facts["processor_features"] = Value::Object(map.collect());
    facts
}

fn one(ask: Ask) -> Vec<Case> {
    let asks = std::slice::from_ref(&ask);
    vec![
        ours::judge("tribe", &ask),
        cel(asks),
        interpreter(asks),
        rego(asks),
        cedar(asks),
        evalexpr(asks),
        rhai(asks),
    ]
}

fn many(asks: Vec<Ask>) -> Vec<Case> {
    vec![
        ours::as_a_set("tribe, as a set", &asks),
        ours::one_by_one("tribe, one by one", &asks),
        cel(&asks),
        interpreter(&asks),
        rego(&asks),
        cedar(&asks),
        evalexpr(&asks),
        rhai(&asks),
    ]
}

fn cel(asks: &[Ask]) -> Case {
    let mut context = cel::Context::default();
    for (name, value) in mapped().as_object().unwrap() {
        context.add_variable(name.clone(), value).unwrap();
    }
    let compile = |ask: &Ask| cel::Program::compile(&ask.cel()).unwrap();
    let programs: Vec<_> = asks.iter().map(compile).collect();
    case(CEL, asks.len(), move || {
        let is = |program: &&cel::Program| {
            program.execute(black_box(&context)).unwrap() == cel::Value::Bool(true)
        };
        programs.iter().filter(is).count()
    })
}

fn interpreter(asks: &[Ask]) -> Case {
    let mut context = cel_interpreter::Context::default();
    for (name, value) in mapped().as_object().unwrap() {
        context.add_variable(name.clone(), value).unwrap();
    }
    let compile = |ask: &Ask| cel_interpreter::Program::compile(&ask.cel()).unwrap();
    let programs: Vec<_> = asks.iter().map(compile).collect();
    case(INTERPRETER, asks.len(), move || {
        let is = |program: &&cel_interpreter::Program| {
            program.execute(black_box(&context)).unwrap() == cel_interpreter::Value::Bool(true)
        };
        programs.iter().filter(is).count()
    })
}

fn module(asks: &[Ask]) -> String {
    let rules = asks.iter().enumerate().map(|(at, ask)| ask.rego(&format!("allow contains {at}")));
    format!("package p\nimport rego.v1\n{}", rules.collect::<String>())
}

fn rego_program(module: String) -> Arc<Program> {
    let mut engine = regorus::Engine::new();
    engine.add_policy("p.rego".into(), module).unwrap();
    let policy = engine.compile_with_entrypoint(&"data.p.allow".into()).unwrap();
    Compiler::compile_from_policy(&policy, &["data.p.allow"]).unwrap()
}

/// All policies are one program that makes a set of those that hold.
fn rego(asks: &[Ask]) -> Case {
    let single = match asks {
        [ask] => Some(format!("package p\nimport rego.v1\n{}", ask.rego("allow"))),
        _ => None,
    };
    let input = regorus::Value::from_json_str(&mapped().to_string()).unwrap();
    let mut machine = RegoVM::new();
    machine.load_program(rego_program(single.clone().unwrap_or_else(|| module(asks))));
    case(REGORUS, asks.len(), move || {
        machine.set_input(black_box(input.clone()));
        let result = machine.execute().unwrap();
        match single {
            Some(_) => usize::from(result == regorus::Value::Bool(true)),
            None => result.as_set().unwrap().len(),
        }
    })
}

/// All policies are one set, and the reasons of its answer are those that hold.
fn cedar(asks: &[Ask]) -> Case {
    let rule =
        |ask: &Ask| format!("permit(principal, action, resource) when {{ {} }};\n", ask.cedar());
    let policies: cedar_policy::PolicySet =
        asks.iter().map(rule).collect::<String>().parse().unwrap();
    let entity = |id: &str| id.parse::<cedar_policy::EntityUid>().unwrap();
    let context = cedar_policy::Context::from_json_value(questions::facts(), None).unwrap();
    let (node, action, tribe) = ("Node::\"n\"", "Action::\"a\"", "Tribe::\"t\"");
    let request =
        cedar_policy::Request::new(entity(node), entity(action), entity(tribe), context, None);
    let (request, authorizer) = (request.unwrap(), cedar_policy::Authorizer::new());
    let entities = cedar_policy::Entities::empty();
    case(CEDAR, asks.len(), move || {
        let response = authorizer.is_authorized(black_box(&request), &policies, &entities);
        response.diagnostics().reason().count()
    })
}

fn evalexpr(asks: &[Ask]) -> Case {
    use evalexpr::{
        ContextWithMutableFunctions as _, ContextWithMutableVariables as _, Value as V,
    };
    fn value(json: &Value) -> Option<V<evalexpr::DefaultNumericTypes>> {
        Some(match json {
            Value::Bool(value) => V::Boolean(*value),
            Value::Number(value) => V::Int(value.as_i64().unwrap()),
            Value::String(value) => V::String(value.clone()),
            Value::Array(list) => V::Tuple(list.iter().map(|it| value(it).unwrap()).collect()),
            _ => return None,
        })
    }
    fn add(
        context: &mut evalexpr::HashMapContext<evalexpr::DefaultNumericTypes>,
        name: String,
        json: &Value,
    ) {
        match (json, value(json)) {
            (_, Some(value)) => context.set_value(name, value).unwrap(),
            (Value::Object(map), None) => {
                map.iter().for_each(|(key, json)| add(context, format!("{name}_{key}"), json));
            }
            _ => {}
        }
    }
    let mut context = evalexpr::HashMapContext::new();
    for (name, json) in questions::facts().as_object().unwrap() {
        add(&mut context, name.clone(), json);
    }
    let starts = |argument: &V<evalexpr::DefaultNumericTypes>| {
        let words = argument.as_fixed_len_tuple(2)?;
        Ok(V::Boolean(words[0].as_string()?.starts_with(&words[1].as_string()?)))
    };
    context.set_function("starts".into(), evalexpr::Function::new(starts)).unwrap();
    let compile = |ask: &Ask| evalexpr::build_operator_tree(&ask.evalexpr()).unwrap();
    let trees: Vec<evalexpr::Node<evalexpr::DefaultNumericTypes>> =
        asks.iter().map(compile).collect();
    case(EVALEXPR, asks.len(), move || {
        let is = |tree: &&evalexpr::Node<_>| {
            tree.eval_boolean_with_context(black_box(&context)).unwrap()
        };
        trees.iter().filter(is).count()
    })
}

fn rhai(asks: &[Ask]) -> Case {
    fn dynamic(value: &Value) -> rhai::Dynamic {
        match value {
            Value::Bool(value) => (*value).into(),
            Value::Number(value) => value.as_i64().unwrap().into(),
            Value::String(value) => value.clone().into(),
            Value::Array(list) => list.iter().map(dynamic).collect::<rhai::Array>().into(),
            Value::Object(map) => {
                let pairs = map.iter().map(|(name, value)| (name.as_str().into(), dynamic(value)));
                pairs.collect::<rhai::Map>().into()
            }
            Value::Null => rhai::Dynamic::UNIT,
        }
    }
    let mut scope = rhai::Scope::new();
    for (name, value) in mapped().as_object().unwrap() {
        scope.push_dynamic(name.clone(), dynamic(value));
    }
    let engine = rhai::Engine::new();
    let compile = |ask: &Ask| engine.compile_expression(ask.rhai()).unwrap();
    let trees: Vec<rhai::AST> = asks.iter().map(compile).collect();
    case(RHAI, asks.len(), move || {
        let is = |tree: &&rhai::AST| engine.eval_ast_with_scope::<bool>(&mut scope, tree).unwrap();
        trees.iter().filter(is).count()
    })
}

fn parse(ask: Ask) -> Vec<Case> {
    let read = |name, text: String, read: fn(&str) -> bool| {
        case(name, 1, move || read(black_box(&text)).into())
    };
    let engine = rhai::Engine::new();
    let script = ask.rhai();
    let rego = format!("package p\nimport rego.v1\n{}", ask.rego("allow"));
    let cedar = format!("permit(principal, action, resource) when {{ {} }};\n", ask.cedar());
    vec![
        read("tribe: parse, check and compile", ask.ours(), |text| Policy::parse(text).is_ok()),
        read("cel 0.15, Pratt parser", ask.cel(), |text| {
            cel::parser::PrattParser::new().parse(text).is_ok()
        }),
        read(CEL, ask.cel(), |text| cel::Program::compile(text).is_ok()),
        read(INTERPRETER, ask.cel(), |text| cel_interpreter::Program::compile(text).is_ok()),
        read(REGORUS, rego, |text| !rego_program(text.into()).instructions.is_empty()),
        read(CEDAR, cedar, |text| text.parse::<cedar_policy::PolicySet>().is_ok()),
        read(EVALEXPR, ask.evalexpr(), |text| {
            evalexpr::build_operator_tree::<evalexpr::DefaultNumericTypes>(text).is_ok()
        }),
        case(RHAI, 1, move || engine.compile_expression(black_box(&script)).is_ok().into()),
    ]
}
